"""Radiographs come in over the network, and answers go out.

What ``carina dicom listen`` does with one object::

    association ─ receiver ─► store (the bytes, on disk) ─► journal (received) ─► acknowledged
      ─ judging (a process of its own) ─► store (the answers) ─► journal (judged)
      ─ delivery (C-STORE or STOW-RS, again and again) ─► journal (sent), or the dead-letter folder

Nothing here parses a data set that came in: what reads it is the judge, in its own process.
"""
