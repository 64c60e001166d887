"""Programs for the people around the cameras: throw-away fleets, a local broker, the demo."""
