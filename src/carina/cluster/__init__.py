"""The same judgement on more than one machine: Ray reads, judges and writes; everything else is `carina.inference`."""
