"""What is not the API: the faces for people, the documentation, health and metrics; all from this machine."""

from tailrace.web.pages.routes import create_pages

__all__ = ["create_pages"]
