// How things are said to the user.
import * as vscode from "vscode";
import { failureOf } from "./failure.ts";
import { plain } from "./plain.ts";

/** Shows a failure with its next steps as buttons; one that the user asked for is not shown. */
export async function tell(error: unknown): Promise<void> {
  const failure = failureOf(error);
  if (failure.isCancelled) {
    return;
  }
  const actions = failure.data.actions ?? [];
  const chosen = await vscode.window.showErrorMessage(failure.message, ...actions.map((action) => action.title));
  const action = actions.find(({ title }) => title === chosen);
  if (action !== undefined) {
    await vscode.commands.executeCommand(action.command, action.argument ?? {});
  }
}

/** Runs something for the user: what goes wrong is told, and nothing is thrown. */
export async function attempt<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    void tell(error);
    return undefined;
  }
}

/** A line of what is going on. */
export type Report = (message: string) => void;

/** Shows a progress in a notification while something runs; its Cancel ends the token. */
export function busy<Result>(
  title: string,
  work: (token: vscode.CancellationToken, report: Report) => Promise<Result>,
): Promise<Result> {
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  const shown = vscode.window.withProgress(options, (progress, token) =>
    work(token, (message) => {
      progress.report({ message: plain(message) });
    }),
  );
  return Promise.resolve(shown);
}

/** Says a line without waiting for it to be read. */
export function say(message: string): void {
  void vscode.window.showInformationMessage(plain(message));
}
