"""The floor of one question: the same by the standard library alone."""

from __future__ import annotations

import http.client
import json
import os
import sys

if __name__ == "__main__":
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": sys.argv[1]}]}
    host, _, path = os.environ["OPENAI_BASE_URL"].removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host)
    connection.request("POST", f"/{path}/chat/completions", json.dumps(body))
    for line in connection.getresponse():
        if line.startswith(b"data: {"):
            sys.stdout.write(json.loads(line[6:])["choices"][0]["delta"]["content"])
    sys.stdout.write("\n")
