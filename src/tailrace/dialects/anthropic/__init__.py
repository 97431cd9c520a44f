"""Anthropic's Messages."""

from tailrace.dialects.anthropic.body import read_prompt
from tailrace.dialects.anthropic.dialect import ANTHROPIC
from tailrace.dialects.anthropic.models import list_anthropic_models
from tailrace.dialects.anthropic.natives import add_betas

__all__ = ["ANTHROPIC", "add_betas", "list_anthropic_models", "read_prompt"]
