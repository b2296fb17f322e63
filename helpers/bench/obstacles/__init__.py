"""The obstacle course: a phantom hospital of 40 patients, one fault each, and the score of whatever reads them."""
