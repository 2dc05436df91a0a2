// The palette, and what runs when VS Code calls one of the server's own commands.
import * as vscode from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import type { Keys } from "./auth/keys.ts";
import type { SignIn } from "./auth/signin.ts";
import type { Commands, KeySetParams, LoginParams, ModelSelectParams, SwitchParams } from "./contract.gen.ts";
import type { Core, Server } from "./core.ts";
import { failureOf } from "./failure.ts";
import { chooseFolder } from "./folders.ts";
import type { Pages } from "./pages.ts";
import { attempt, busy, say, tell } from "./ui.ts";
import type { ChatView } from "./view/index.ts";

/** What the commands work with. */
export interface Parts {
  readonly core: Core;
  readonly signIn: SignIn;
  readonly keys: Keys;
  readonly pages: Pages;
  readonly view: ChatView;
}

/** Registers every palette entry of package.json. */
export function registerCommands(parts: Parts): vscode.Disposable {
  const { core, signIn, keys, pages, view } = parts;
  const { server, log } = core;
  const entries: Record<string, () => Promise<unknown>> = {
    signIn: () => signIn.signIn(),
    signOut: () => signIn.signOut(),
    switchAuthentication: () => signIn.switchMethod(),
    setWorkspaceKey: () => keys.set("workspaceFolder"),
    setUserKey: () => keys.set("user"),
    chooseModel: () => chooseModel(core, {}),
    openChat: () => view.show(),
    newChatDocument: () => newChatDocument(core),
    askAboutSelection: () => askAboutSelection(view),
    explainAuthentication: async () => {
      const where = await chooseFolder("Explain authentication");
      if (where !== undefined) {
        const { markdown } = await server.command("qwen.auth.explain", { uri: where.uri });
        await pages.show("Authentication", markdown);
      }
    },
    openEnv: async () => {
      const where = await chooseFolder("Open .env", true);
      if (where !== undefined) {
        const { message, opened } = await server.command("qwen.env.open", { uri: where.uri });
        if (opened) {
          say(message); // else the server has said what to do
        }
      }
    },
    doctor: async () => {
      const where = await chooseFolder("Doctor");
      if (where !== undefined) {
        const { uri } = where;
        const report = await busy("Qwen: looking at everything", (token) => server.command("qwen.doctor", { uri }, token));
        await pages.show("Doctor", report.markdown);
      }
    },
    restartServer: () => server.restart(),
    showOutput: () => {
      log.show();
      return Promise.resolve();
    },
    copyCode: () => signIn.copyCode(),
  };
  return vscode.Disposable.from(
    ...Object.entries(entries).map(([name, work]) =>
      vscode.commands.registerCommand(`qwenLs.${name}`, () => attempt(work)),
    ),
  );
}

interface Choices {
  readonly models: Commands["qwen.models.list"]["result"]["models"];
  readonly placeHolder: string;
}

const IN_THE_WAY = new Set(["signed-out", "untrusted-origin", "server-gone", "no-server"]); // of any choice of a model

/** Lets the user choose a model of the provider's list, or type one. */
async function chooseModel({ server }: Core, given: ModelSelectParams): Promise<void> {
  const title = "Choose a model";
  const where = given.uri === undefined ? await chooseFolder(title) : { uri: given.uri };
  if (where === undefined) {
    return;
  }
  const { uri } = where;
  const { models, placeHolder } = await busy("Qwen: asking for the models", (token) => listed(server, uri, token));
  const items = models.map(({ id, active }) => ({ label: id, description: active === true ? "now" : "", id }));
  const other = { label: "Another model…", description: "by its name", id: undefined };
  const chosen = await vscode.window.showQuickPick([...items, other], { title, placeHolder });
  const model = chosen === other ? await vscode.window.showInputBox({ title, prompt: "Its name" }) : chosen?.id;
  if (model?.trim()) {
    const { target } = given;
    say((await server.command("qwen.models.select", { model: model.trim(), uri, target })).message);
  }
}

/** The provider's models; why there are none where it lists none: a model can be typed all the same. */
async function listed(server: Server, uri: string | undefined, token: vscode.CancellationToken): Promise<Choices> {
  try {
    const { models, provider } = await server.request("qwen/models/list", { uri }, token);
    return { models, placeHolder: `Models of ${provider}` };
  } catch (error) {
    const failure = failureOf(error);
    if (failure.isCancelled || IN_THE_WAY.has(failure.data.kind)) {
      throw failure;
    }
    return { models: [], placeHolder: failure.message };
  }
}

/** Makes a chat document; the server lets us open it. */
async function newChatDocument({ server }: Core): Promise<void> {
  const where = await chooseFolder("New chat document");
  if (where === undefined) {
    return;
  }
  const { message, opened, file } = await server.command("qwen.chat.new", { uri: where.uri, document: true });
  if (opened !== true && file !== undefined) {
    await vscode.window.showTextDocument(vscode.Uri.file(file));
  } else if (opened !== true && message !== undefined) {
    say(message);
  }
}

async function askAboutSelection(view: ChatView): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (editor === undefined || editor.selection.isEmpty) {
    say("Select the text to ask about first.");
    return;
  }
  const { document, selection } = editor;
  const text = document.getText(selection);
  await view.ask({ uri: document.uri, range: selection, text, languageId: document.languageId });
}

type ExecuteCommand = NonNullable<Middleware["executeCommand"]>;

/**
 * What the server's own commands run through when VS Code calls them: from a code action, a lens, a button. Those that
 * would ask the user by a message are asked for here instead, and what goes wrong is told. `parts` is called when the
 * first one runs: the server is made before the parts that use it.
 */
export function serverCommands(parts: () => Parts): ExecuteCommand {
  return async (command, args: unknown[]) => {
    const argument = args[0] ?? {};
    const asks = ASKED_HERE[command];
    const run = (): Promise<unknown> =>
      parts().core.server.command(command as keyof Commands, argument);
    try {
      const asked = asks?.(parts(), argument);
      if (asked !== undefined) {
        return await asked;
      }
      const result = await run();
      await shown(parts(), command, result);
      return result;
    } catch (error) {
      void tell(error);
      return undefined;
    }
  };
}

/** Shows what a command answers with, where that is for the user. */
async function shown({ pages }: Parts, command: string, result: unknown): Promise<void> {
  const page = PAGES[command];
  if (page !== undefined) {
    await pages.show(page, (result as { markdown: string }).markdown);
  } else if (TOLD_HERE.has(command)) {
    say((result as { message: string }).message);
  }
}

/** Commands that answer in Markdown to read, and its title. */
const PAGES: Record<string, string | undefined> = {
  "qwen.auth.explain": "Authentication",
  "qwen.doctor": "Doctor",
} satisfies Partial<Record<keyof Commands, string>>;

/** Commands that answer in a line, and leave it to a client of ours to show it. */
const TOLD_HERE = new Set<string>([
  "qwen.auth.logout",
  "qwen.auth.switch",
  "qwen.keys.remove",
  "qwen.models.select",
  "qwen.trust.allow",
  "qwen.trust.deny",
  "qwen.trust.forget",
] satisfies (keyof Commands)[]);

type Asked = (parts: Parts, argument: unknown) => Promise<unknown> | undefined;

const ASKED_HERE: Record<string, Asked | undefined> = {
  "qwen.auth.login": ({ signIn }, argument) => signIn.signIn(argument as LoginParams),
  "qwen.auth.switch": ({ signIn }, argument) => {
    const given = argument as SwitchParams;
    return given.method === undefined ? signIn.switchMethod(given) : undefined;
  },
  "qwen.keys.set": ({ keys }, argument) => {
    const given = argument as KeySetParams;
    const target = given.target ?? (given.uri === undefined ? "user" : "workspaceFolder");
    return given.keyFile === undefined ? keys.set(target, given) : undefined;
  },
  "qwen.models.select": ({ core }, argument) => {
    const given = argument as ModelSelectParams;
    return given.model === undefined ? chooseModel(core, given) : undefined;
  },
};
