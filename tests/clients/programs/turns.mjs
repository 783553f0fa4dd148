// Two turns with the OpenAI Agents SDK for Node, for `replay sweep --first`.
//
//     node turns.mjs previous|history
//
// Ctrl-C (SIGINT) aborts the first turn; a broken connection ends it. The next turn goes on from the last response's id
// (previous) or from the history that the SDK gives back (history). Takes the packages from the folder that
// REPLAY_PACKAGES names.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.join(process.env.REPLAY_PACKAGES, 'package.json'));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Agent, run, tool, user, setTracingDisabled } = await load('@openai/agents');
const { z } = await load('zod');
setTracingDisabled(true);

const lookUp = tool({
  name: 'look_up',
  description: 'looks something up',
  parameters: z.object({ key: z.string() }),
  execute: async () => {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return 'found it';
  },
});
const agent = new Agent({ name: 'clerk', instructions: 'Be brief.', model: 'gpt-4.1', tools: [lookUp] });
const aborting = new AbortController();
process.on('SIGINT', () => aborting.abort());

let first;
try {
  first = await run(agent, 'begin', { stream: true, signal: aborting.signal });
  for await (const event of first) void event;
  await first.completed;
} catch (error) {
  console.error(`first turn: ${error.name}: ${error.message}`);
}
try {
  const again =
    process.argv[2] === 'history'
      ? await run(agent, [...(first?.history ?? []), user('continue')])
      : await run(agent, 'continue', { previousResponseId: first?.lastResponseId });
  console.log(again.finalOutput);
} catch (error) {
  console.error(`next turn: ${error.message}`);
}
process.exit(0);
