"""The surfaces that clients speak to: each adds its routes, with their documentation."""
