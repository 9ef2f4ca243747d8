"""Why a prediction is what it is: evidence per cell of the last feature map, and its picture."""
