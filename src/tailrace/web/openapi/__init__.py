"""What `/openapi.json` says of every route: bodies, parameters, streams, states and errors."""
