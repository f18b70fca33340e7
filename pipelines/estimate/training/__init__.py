"""What a training run would take on some number of GPUs: time, memory and money, and which of them is the limit."""
