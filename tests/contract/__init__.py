"""What a client may rely on when it talks to a Control Plane, asked over HTTP of whichever one is there."""
