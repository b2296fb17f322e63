"""Fine-tuning: a trained model goes on learning from the few patients that a new hospital has outlined."""
