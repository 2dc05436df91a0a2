// The chat view's page. Its policy lets it load our own script and style, and nothing else from anywhere.

/** Where the page's parts come from. */
export interface Sources {
  script: string;
  style: string;
  /** What the policy names as the source of our own files. */
  own: string;
  /** A new one for each page: only the script that carries it runs. */
  nonce: string;
}

/** The policy: no remote content, no images, no inline style or script, no forms, no base. */
export function policy({ own, nonce }: Pick<Sources, "own" | "nonce">): string {
  return [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src ${own}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types dompurify",
  ].join("; ");
}

/** The page. */
export function page(sources: Sources): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy(sources)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Qwen Chat</title>
<link rel="stylesheet" href="${sources.style}">
</head>
<body>
<main id="log" tabindex="0" aria-label="Conversation"></main>
<p id="announcer" class="unseen" role="status" aria-live="polite"></p>
<section id="composer" aria-label="Message to Qwen">
<ul id="chips" class="chips" aria-label="Goes along with the message" hidden></ul>
<label for="draft" class="unseen">Message</label>
<textarea id="draft" rows="3" placeholder="Ask Qwen… (Shift+Enter for a new line)"></textarea>
<div class="row">
<div class="row" role="group" aria-label="Attach">
<button type="button" id="attach-selection" class="quiet" title="Attach the selection in the editor">+ Selection</button>
<button type="button" id="attach-file" class="quiet" title="Attach a file of the workspace">+ File</button>
<button type="button" id="attach-problems" class="quiet" title="Attach the problems of the file in the editor">+ Problems</button>
</div>
<button type="button" id="send" class="primary" title="Send (Enter)">Send</button>
<button type="button" id="stop" class="primary" title="Stop the answer (Escape)" aria-label="Stop the answer" hidden>Stop</button>
</div>
<div id="standing" class="row" role="group" aria-label="Model and authentication"></div>
</section>
<script nonce="${sources.nonce}" src="${sources.script}"></script>
</body>
</html>
`;
}
