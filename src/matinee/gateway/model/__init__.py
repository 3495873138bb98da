"""The gateway's rules: what a viewer is shown, how uploads are named, which routes and clusters stand in front."""
