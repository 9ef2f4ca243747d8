"""Radiographs lose what says whose they are, by the Basic Profile of PS3.15 Annex E and the options that are asked for.

The way of one file::

    bytes ── outline (every sequence walked, counted) ── pydicom ── cleaning (attributes) ─┐
                          │                                            ▲                   ├─► a new file
                          └──────────────── pixels ── codestreams ─────┼───────────────────┘
                                                                       │
                               profile (the table, the options) ── pseudonyms (key)

Nothing is taken out of a data set: a new one is built, and only what has a rule that says so gets into it.
"""
