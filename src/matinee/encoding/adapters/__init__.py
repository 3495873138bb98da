"""The engines that encoding runs on."""
