"""What training-based methods minimise: one small file each."""
