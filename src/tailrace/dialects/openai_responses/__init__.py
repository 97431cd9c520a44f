"""OpenAI's Responses API."""

from tailrace.dialects.openai_responses.body import ResponseBody, read_response
from tailrace.dialects.openai_responses.dialect import OPENAI_RESPONSES, find_number
from tailrace.dialects.openai_responses.draft import fold_response
from tailrace.dialects.openai_responses.listing import list_answer, list_input, prefix_of
from tailrace.dialects.openai_responses.merging import merge_response
from tailrace.dialects.openai_responses.names import (
    AdoptedName,
    ItemName,
    item_id,
    parse_adopted_id,
    parse_item_id,
    response_id,
    stream_id_of,
)
from tailrace.dialects.openai_responses.outputs import (
    list_output,
    output_of,
    read_item,
    read_output,
    send_back,
    without_output,
)
from tailrace.dialects.openai_responses.terms import write_terms

__all__ = [
    "OPENAI_RESPONSES",
    "AdoptedName",
    "ItemName",
    "ResponseBody",
    "find_number",
    "fold_response",
    "item_id",
    "list_answer",
    "list_input",
    "list_output",
    "merge_response",
    "output_of",
    "parse_adopted_id",
    "parse_item_id",
    "prefix_of",
    "read_item",
    "read_output",
    "read_response",
    "response_id",
    "send_back",
    "stream_id_of",
    "without_output",
    "write_terms",
]
