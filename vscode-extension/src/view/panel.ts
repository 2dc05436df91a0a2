// The webview, and what its messages do in VS Code.
//
// The history is kept out of the webview (chat.ts), so the page may go when the view is hidden and come back
// when it is shown: `retainContextWhenHidden`, which holds on to a whole browser page, is not needed. The page
// itself keeps the draft (`setState`), which is nobody else's business.
import { randomBytes, randomUUID } from "node:crypto";
import * as vscode from "vscode";
import type { Core } from "../core.ts";
import { currentFolder } from "../folders.ts";
import { attempt } from "../ui.ts";
import { attachments, type Kind, mentioned, passage, type Passage } from "./attach.ts";
import { Chat } from "./chat.ts";
import { page } from "./page.ts";
import { type Action, type FromView, parseFromView } from "./protocol.ts";
import { standingOf } from "./standing.ts";

/** The view's id in the manifest. */
export const VIEW = "qwenLs.chat";
const KEPT = "qwenLs.chat.history"; // in the workspace's own storage

type Hear = { [K in FromView["type"]]: (said: FromView & { type: K }) => unknown };

/** The view as VS Code sees it. */
export class Panel implements vscode.WebviewViewProvider, vscode.Disposable {
  readonly #core: Core;
  readonly #chat: Chat;
  #view: vscode.WebviewView | undefined;
  #isReady = false; // the page listens
  #wantsFocus = false;
  #last: string | undefined; // the folder's URI
  readonly #hear: Hear = {
    ready: () => {
      this.#isReady = true;
      this.#chat.apply({ type: "state", state: this.#chat.state });
      this.#focus();
    },
    send: ({ text }) => this.#send(text),
    again: ({ id }) => this.#chat.again(id, this.#uri()),
    stop: () => { this.#chat.stop(); },
    detach: ({ id }) => { this.#chat.detach(id); },
    attach: ({ kind }) => this.#attach(kind),
    act: ({ id, index }) => this.#act(this.#chat.action(id, index)),
    copy: ({ text }) => vscode.env.clipboard.writeText(text),
    insert: ({ text }) => insert(text),
    run: ({ what }) => vscode.commands.executeCommand(`qwenLs.${what}`),
  };

  constructor(core: Core) {
    this.#core = core;
    const { workspaceState } = core.context;
    this.#chat = new Chat(
      {
        send: (params, onDelta, token) => core.server.chat(params, onDelta, token),
        stopper: () => new vscode.CancellationTokenSource(),
        show: (message) => {
          if (this.#isReady) {
            void this.#view?.webview.postMessage(message);
          }
        },
        keep: (kept) => void workspaceState.update(KEPT, kept),
        now: () => Date.now(),
        id: randomUUID,
      },
      workspaceState.get(KEPT),
    );
    this.tell();
  }

  async show(): Promise<void> {
    this.#wantsFocus = true;
    await vscode.commands.executeCommand(`${VIEW}.focus`);
    this.#focus();
  }

  async ask(about: Passage): Promise<void> {
    this.#chat.attach(passage(about));
    await this.show();
  }

  async clear(): Promise<void> {
    this.#chat.clear();
    await this.show();
  }

  /** Tells the page who signs the next message. */
  tell(): void {
    const { server, statuses } = this.#core;
    const folder = this.#folder();
    const isOneOfSeveral = (vscode.workspace.workspaceFolders?.length ?? 0) > 1;
    const standing = standingOf(server.state, statuses.of(folder?.uri), isOneOfSeveral ? folder?.name : undefined);
    this.#chat.apply({ type: "standing", standing });
  }

  dispose(): void {
    this.#chat.stop();
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    const dist = vscode.Uri.joinPath(this.#core.context.extensionUri, "dist");
    const { webview } = view;
    this.#view = view;
    this.#isReady = false;
    webview.options = { enableScripts: true, enableForms: false, localResourceRoots: [dist] };
    webview.onDidReceiveMessage((message: unknown) => {
      const said = parseFromView(message);
      if (said !== undefined) {
        (this.#hear[said.type] as (said: FromView) => unknown)(said);
      }
    });
    view.onDidChangeVisibility(() => {
      this.#isReady &&= view.visible; // a hidden page is gone; shown again, it says that it is ready
    });
    view.onDidDispose(() => {
      if (this.#view === view) {
        this.#view = undefined;
        this.#isReady = false;
      }
    });
    const own = (name: string): string => webview.asWebviewUri(vscode.Uri.joinPath(dist, name)).toString();
    const nonce = randomBytes(24).toString("base64");
    webview.html = page({ script: own("view.js"), style: own("view.css"), own: webview.cspSource, nonce });
  }

  #focus(): void {
    if (this.#isReady && this.#wantsFocus) {
      this.#wantsFocus = false;
      void this.#view?.webview.postMessage({ type: "focus" });
    }
  }

  async #attach(kind: Kind): Promise<void> {
    const found = await attachments(kind, this.#folder()?.uri);
    if (typeof found === "string") {
      void vscode.window.showInformationMessage(found);
      return;
    }
    for (const one of found) {
      this.#chat.attach(one);
    }
    this.#wantsFocus = true;
    this.#focus();
  }

  /** Sends a message, with what it mentions. */
  #send(text: string): Promise<void> {
    const kinds = new Set(this.#chat.state.chips.map(({ kind }) => kind));
    for (const one of mentioned(text).filter(({ chip }) => !kinds.has(chip.kind))) {
      this.#chat.attach(one);
    }
    return this.#chat.send(text, this.#uri());
  }

  /** Runs the next step that a failure offers: a command of the server, for the folder of the chat. */
  async #act(action: Action | undefined): Promise<void> {
    if (action?.command.startsWith("qwen.") === true) {
      const { command, argument } = action;
      const uri = this.#uri();
      await attempt(() => Promise.resolve(vscode.commands.executeCommand(command, { ...argument, ...(uri && { uri }) })));
    }
  }

  /** The folder of the chat: the one of the editor that was last used, else the first. */
  #folder(): vscode.WorkspaceFolder | undefined {
    const folders = vscode.workspace.workspaceFolders ?? [];
    const last = folders.find((folder) => folder.uri.toString() === this.#last);
    const folder = currentFolder() ?? last ?? folders[0];
    this.#last = folder?.uri.toString();
    return folder;
  }

  #uri(): string | undefined {
    return this.#folder()?.uri.toString();
  }
}

/** Puts code in place of the selections of the editor that was last used. */
async function insert(text: string): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (editor === undefined) {
    void vscode.window.showInformationMessage("Open a file and put the cursor where the code is to go.");
    return;
  }
  const done = await editor.edit((edit) => {
    for (const selection of editor.selections) {
      edit.replace(selection, text);
    }
  });
  if (done) {
    await vscode.window.showTextDocument(editor.document, editor.viewColumn);
  } else {
    void vscode.window.showWarningMessage("The code was not inserted: this editor takes no changes.");
  }
}
