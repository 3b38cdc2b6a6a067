"""What the engines that compute with PyTorch share."""
