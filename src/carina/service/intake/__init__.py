"""How images come in. Every way in calls `carina.service.intake.take`."""
