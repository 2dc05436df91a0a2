// What any other extension can do with the models and the account; each command leaves what it saw in a file.
'use strict';
const fs = require('node:fs');
const vscode = require('vscode');

const answers = {
  async askModel() {
    const models = await vscode.lm.selectChatModels({ vendor: 'qwen-ls' });
    const seen = { models: models.map(({ id, vendor, family, name }) => ({ id, vendor, family, name })), pieces: [] };
    const messages = [vscode.LanguageModelChatMessage.User('From another extension')];
    const reply = await models[0].sendRequest(messages, { justification: 'To see an answer stream' });
    for await (const piece of reply.text) seen.pieces.push(piece);
    return seen;
  },
  async showAccount() {
    const session = await vscode.authentication.getSession('qwen-ls', [], { createIfNone: true });
    return { account: session.account.label, accessToken: session.accessToken, scopes: session.scopes };
  },
};

exports.activate = (context) => {
  for (const [name, answer] of Object.entries(answers)) {
    context.subscriptions.push(vscode.commands.registerCommand(`probe.${name}`, async () => {
      const file = `${process.env.QWEN_LS_PROBE}/${name}.json`;
      const seen = await answer().catch((error) => ({ error: String(error) }));
      fs.writeFileSync(`${file}.new`, JSON.stringify(seen));
      fs.renameSync(`${file}.new`, file);
      await vscode.window.showInformationMessage(`Probe: ${name} is done`);
    }));
  }
};
