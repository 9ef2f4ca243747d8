"""The gate is learned: what is no chest radiograph, or one that must not be judged."""
