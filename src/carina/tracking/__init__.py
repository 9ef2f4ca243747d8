"""A finished run and its evaluations go to an experiment tracker."""
