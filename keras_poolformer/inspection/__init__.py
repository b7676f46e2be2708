"""What a model consists of and looks at: parameters and MACs, Grad-CAM, contact sheets."""
