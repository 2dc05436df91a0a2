/** Text for a notification: VS Code makes a link of each `[…](…)` in one, to a command as well. */
export function plain(text: string): string {
  return text.replaceAll("](", "] (");
}
