// Sessions with the OpenAI Node SDK, alone or below the Agents SDK.
//
//     node session.mjs raw|agents SCENARIO[=BASE_URL]...
//
// A scenario is text, tool, in-tool, mid-arguments, second-stream or bytes. Without a base URL it is OPENAI_BASE_URL.
// Takes the packages from the folder that REPLAY_PACKAGES names. Prints what the program saw, one JSON value a line.
// Where it interrupts itself depends on what it has received and on nothing else.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.join(process.env.REPLAY_PACKAGES, 'package.json'));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: OpenAI } = await load('openai');

const model = 'gpt-4.1';
const FIRST = 'begin';
const NEXT = 'this is the next message';
const DELTA = 'response.function_call_arguments.delta';
const TEXT = 'response.output_text.delta';
const tools = [{ type: 'function', name: 'look_up', strict: false, parameters: { type: 'object', properties: { key: { type: 'string' } } } }];
const say = (members) => console.log(JSON.stringify({ scenario, ...members }));
const refused = (error) => {
  if (!(error instanceof OpenAI.APIError) || error.status === undefined) throw error;
  say({ refused: error.status, message: error.message, param: error.param, code: error.code });
};
const [kind, ...wanted] = process.argv.slice(2);
let scenario;
let client;

// reads a stream, up to the second event of the type `stop`
async function stream(body, stop) {
  const aborting = new AbortController();
  const events = await client.responses.create({ model, stream: true, tools, ...body }, { signal: aborting.signal });
  let made;
  let left = 2;
  const calls = [];
  for await (const event of events) {
    say({ event });
    if (event.type === 'response.created') made = event.response.id;
    if (event.type === 'response.output_item.done' && event.item.type === 'function_call') calls.push(event.item);
    if (event.type === stop && (left -= 1) === 0) {
      aborting.abort();
      break;
    }
  }
  return [made, calls];
}

async function raw() {
  const goOn = (body) => stream(body).catch(refused);
  if (scenario === 'bytes') {
    const answer = await client.responses.create({ model, stream: true, input: FIRST }).asResponse();
    say({ status: answer.status, body: await answer.text() });
    return;
  }
  if (scenario === 'text') {
    const [made] = await stream({ input: FIRST });
    await goOn({ previous_response_id: made, input: NEXT });
    return;
  }
  if (scenario === 'mid-arguments') {
    const [made] = await stream({ input: FIRST }, DELTA);
    await goOn({ previous_response_id: made, input: NEXT });
    await goOn({ input: [{ role: 'user', content: FIRST }, { role: 'user', content: NEXT }] });
    return;
  }
  const [made, calls] = await stream({ input: FIRST });
  if (scenario === 'in-tool') {
    // the tool was left: there is no output to send
    await goOn({ previous_response_id: made, input: NEXT });
    return;
  }
  const outputs = calls.map((call) => ({ type: 'function_call_output', call_id: call.call_id, output: 'found it' }));
  const stop = scenario === 'second-stream' ? TEXT : undefined;
  const [second] = await stream({ previous_response_id: made, input: outputs }, stop);
  await goOn({ previous_response_id: stop ? made : second, input: NEXT });
}

async function withAgents() {
  const agents = await load('@openai/agents');
  const { z } = await load('zod');
  agents.setTracingDisabled(true);
  const aborting = new AbortController();
  const lookUp = agents.tool({
    name: 'look_up',
    description: 'Looks something up.',
    parameters: z.object({ key: z.string() }),
    execute: async () => {
      if (scenario === 'in-tool') aborting.abort();
      return 'found it';
    },
  });
  const agent = new agents.Agent({ name: 'clerk', instructions: 'Be brief.', model: new agents.OpenAIResponsesModel(client, model), tools: [lookUp] });
  const stop = { 'mid-arguments': DELTA, 'second-stream': TEXT }[scenario];
  let left = 2;
  let result;
  try {
    result = await agents.run(agent, FIRST, { stream: true, signal: aborting.signal });
    for await (const event of result) {
      if (event.type !== 'raw_model_stream_event') {
        say({ step: event.name ?? event.type });
        continue;
      }
      // the SDK repeats some events in words of its own
      const data = event.data?.event;
      if (data === undefined) continue;
      say({ event: data });
      if (data.type === stop && (left -= 1) === 0) aborting.abort();
    }
    await result.completed;
  } catch (error) {
    say({ ended: error.name });
  }
  say({ last_response_id: result?.lastResponseId, output: result?.finalOutput });
  try {
    const again = await agents.run(agent, NEXT, { previousResponseId: result?.lastResponseId });
    say({ output: again.finalOutput });
  } catch (error) {
    refused(error);
  }
}

for (const one of wanted) {
  const at = one.indexOf('=');
  scenario = at < 0 ? one : one.slice(0, at);
  client = new OpenAI({ maxRetries: 0, baseURL: at < 0 ? undefined : one.slice(at + 1) });
  await (kind === 'raw' ? raw() : withAgents());
}
