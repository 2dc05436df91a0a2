"""What do we touch? One file per outside thing; they fit the ports of the actions by shape."""
