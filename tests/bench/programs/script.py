"""What a person would write for one question: `script.py TEXT`, with httpx."""

from __future__ import annotations

import json
import os
import sys

import httpx

if __name__ == "__main__":
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": sys.argv[1]}]}
    url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                sys.stdout.write(json.loads(line[6:])["choices"][0]["delta"]["content"])
                sys.stdout.flush()
    sys.stdout.write("\n")
