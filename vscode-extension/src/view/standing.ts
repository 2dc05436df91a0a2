// Who signs the next message and where the server stands, as the view shows it.
import type { Status } from "../contract.gen.ts";
import type { ServerState } from "../core.ts";
import type { Standing } from "./protocol.ts";

const SERVER: Record<ServerState, { server: Standing["server"]; message: string }> = {
  ready: { server: "running", message: "" },
  starting: { server: "starting", message: "The server is starting…" },
  down: { server: "starting", message: "The server has stopped and is being started again…" },
  failed: { server: "stopped", message: "The server could not be started." },
  stopped: { server: "stopped", message: "The server is not running." },
};

/** The view's line below the input; `folder` is named where there are several. */
export function standingOf(state: ServerState, status: Status | undefined, folder: string | undefined): Standing {
  const { server, message } = SERVER[state];
  const { signedIn = false, method, model, message: told = "" } = status ?? {};
  return {
    server,
    message: message === "" ? told : message,
    signedIn,
    ...(method === undefined ? {} : { method }),
    ...(model === undefined ? {} : { model }),
    ...(folder === undefined ? {} : { folder }),
  };
}
