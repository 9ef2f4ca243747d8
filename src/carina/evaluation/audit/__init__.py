"""How much of what a model knows is lungs? `audit.run_audit` tells the story; each other file is one part of it.

`model` opens what is audited, `inputs` alters radiographs, `looks` sends them through the model and caches what came
out, `heads` trains new heads on it, `probes`, `gaps`, `ruling_out` and `evidence` ask one question each, `share` puts
intervals on what remains, `results` holds the answers.
"""
