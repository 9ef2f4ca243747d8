"""How much of what a model knows is lungs? `audit.run_audit` tells the story; each other file is one part of it."""
