"""Arrays become figures with confidence intervals, and two models are compared by paired tests.

Nothing here knows of files, models or images, so that whatever judged, one way measures it.
"""
