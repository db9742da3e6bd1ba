"""All cases, in the order of the page."""
from . import (client_hello, connect, request_chunks, request_fields, request_framing, request_line, request_onward,
               request_sequence, request_target, response_body, response_head)

GROUPS = (request_line, request_target, request_fields, request_framing, request_chunks, request_onward, request_sequence,
          response_head, response_body, connect, client_hello)
CASES = []
for group in GROUPS:
    for case in group.CASES:
        case.group = group.TITLE
        CASES.append(case)

NAMES = [case.name for case in CASES]
assert len(NAMES) == len(set(NAMES)), sorted(name for name in set(NAMES) if NAMES.count(name) > 1)
