"""DICOM files become radiographs, as a workstation shows them; files that mean harm become a named error.

The way of one file::

    process of the caller            a process of its own, limited in memory and time
    ─────────────────────            ───────────────────────────────────────────────────────────────
    begins_as (first bytes)
    workers ── bytes ──────────────► worker ─ decode ─ outline (element headers, counted, none allocated)
                                              ├ attributes (pydicom: the few that are needed)
                                              ├ stored (native, RLE, or a codestream: its header first, then its codec)
                                              ├ shutter (what is to be seen)
                                              └ display (modality LUT, VOI LUT or window, polarity)
    Radiograph ◄── JSON, grey values ──────

Nothing of a file is parsed in the caller's process beyond its first bytes, and nothing of a header comes back but the
numbers and words of `carina.radiographs.header.Header`.
"""
