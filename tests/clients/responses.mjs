// The OpenAI Node SDK against `replay serve`: every kind of stream folds, tool loops get through, refusals are told.
//
//     replay serve --allow-refused -- node tests/clients/responses.mjs
//
// Takes the address from OPENAI_BASE_URL and the package from the working folder. Exits 1 if a case failed.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const { default: OpenAI } = await import(pathToFileURL(require.resolve('openai')).href);
const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY ?? 'replay', maxRetries: 0 });
const model = 'gpt-5.1';
const CALL = { type: 'function_call', name: 'f', call_id: 'call_A', arguments: { x: 'abcdef' } };
const tools = [{ type: 'function', name: 'f', strict: false, parameters: { type: 'object', properties: { x: { type: 'string' } } } }];
const turn = (members) => ({ headers: { 'x-replay-answer': JSON.stringify(members).replace(/[\u007f-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0')) } });

async function fold(options, body = {}) {
  const stream = client.responses.stream({ model, input: 'hi', ...body }, options);
  const kinds = [];
  for await (const event of stream) kinds.push(event.type);
  return [await stream.finalResponse(), kinds];
}

async function refused(words, body) {
  const error = await client.responses.create({ model, ...body }).then(() => null, (error) => error);
  assert.ok(error, `not refused: ${words}`);
  assert.ok(error.message.includes(words), `${error.message} lacks ${words}`);
  return error;
}

const cases = {
  async 'every kind of stream folds'() {
    const streams = {
      text: [{ type: 'message', text: 'Hello äöü, this is a longer text.' }],
      'empty text': [{ type: 'message', text: '' }],
      refusal: [{ type: 'message', refusal: 'I will not.' }],
      reasoning: [{ type: 'reasoning', text: 'let me think' }, { type: 'message', text: 'so' }],
      call: [CALL],
      'parallel calls': [CALL, { ...CALL, call_id: 'call_B' }],
      custom: [{ type: 'custom_tool_call', name: 'apply_patch', input: '*** Begin' }],
      'local shell': [{ type: 'local_shell_call', command: ['ls'] }],
      'web search': [{ type: 'web_search_call', action: { type: 'search', query: 'q' } }, { type: 'message', text: 'found' }],
      code: [{ type: 'code_interpreter_call', code: '1', container_id: 'c', outputs: [] }],
      image: [{ type: 'image_generation_call', result: 'aGk=' }],
      computer: [{ type: 'computer_call', action: { type: 'screenshot' }, pending_safety_checks: [], status: 'completed' }],
      nothing: [],
    };
    for (const [name, items] of Object.entries(streams)) {
      for (const deltas of [1, 7]) {
        const [final, kinds] = await fold(turn({ items, deltas }));
        assert.equal(final.status, 'completed', name);
        assert.deepEqual(final.output.map((it) => it.type), items.map((it) => it.type), name);
        assert.equal(kinds.at(-1), 'response.completed', name);
        items.forEach((item, at) => {
          if (item.type === 'message' && item.text !== undefined) assert.equal(final.output[at].content[0].text, item.text, name);
          if (item.arguments) assert.deepEqual(JSON.parse(final.output[at].arguments), item.arguments, name);
          if (item.input) assert.equal(final.output[at].input, item.input, name);
        });
      }
    }
  },
  async 'ends that are not completed are told'() {
    const [incomplete] = await fold(turn({ text: 'half', end: { incomplete: 'max_output_tokens' } }));
    assert.equal(incomplete.status, 'incomplete');
    await assert.rejects(fold(turn({ text: 'half', end: 'failed' })));
  },
  async 'a tool loop by previous_response_id'() {
    const first = await client.responses.create({ model, input: 'go', tools }, turn({ items: [CALL] }));
    await refused('No tool output found for function call call_A.', { previous_response_id: first.id, input: 'next' });
    const output = { type: 'function_call_output', call_id: 'call_A', output: 'done' };
    const second = await client.responses.create({ model, previous_response_id: first.id, input: [output], tools });
    assert.ok(second.output_text);
    const kinds = [];
    for await (const item of client.responses.inputItems.list(second.id, { order: 'asc', limit: 1 })) kinds.push(item.type);
    assert.deepEqual(kinds, ['message', 'function_call', 'function_call_output']);
    await client.responses.delete(second.id);
    await refused('Previous response with id', { previous_response_id: second.id, input: 'next' });
  },
  async 'a tool loop by history without storing'() {
    const input = [{ role: 'user', content: 'go' }];
    for (let number = 0; number < 3; number += 1) {
      const [answer] = await fold(turn({ items: [{ ...CALL, call_id: `call_${number}` }] }), { input, store: false, tools });
      input.push(...answer.output.map(({ parsed_arguments, ...item }) => item));
      await refused(`function call call_${number}.`, { input, store: false });
      input.push({ type: 'function_call_output', call_id: `call_${number}`, output: 'done' });
    }
    const answer = await client.responses.create({ model, input, store: false });
    await refused('not found', { previous_response_id: answer.id, input: 'next' });
  },
  async 'conversations hold what was said'() {
    const conversation = await client.conversations.create({});
    await client.responses.create({ model, conversation: conversation.id, input: 'go' }, turn({ items: [CALL] }));
    await refused('No tool output found for function call call_A.', { conversation: conversation.id, input: 'next' });
    const output = { type: 'function_call_output', call_id: 'call_A', output: 'done' };
    await client.responses.create({ model, conversation: conversation.id, input: [output] });
    const kinds = [];
    for await (const item of client.conversations.items.list(conversation.id, { order: 'asc' })) kinds.push(item.type);
    assert.deepEqual(kinds, ['message', 'function_call', 'function_call_output', 'message']);
    await client.conversations.delete(conversation.id);
    await refused('Conversation with id', { conversation: conversation.id, input: 'next' });
  },
  async 'an aborted stream leaves nothing behind'() {
    const options = turn({ items: [CALL], deltas: 5, delay_ms: 20 });
    const stream = await client.responses.create({ model, input: 'go', stream: true }, options);
    let id;
    for await (const event of stream) {
      if (event.type === 'response.created') id = event.response.id;
      if (event.type === 'response.function_call_arguments.delta') break;
    }
    stream.controller.abort();
    await refused('Previous response with id', { previous_response_id: id, input: 'next' });
  },
  async 'cut streams are told'() {
    for (const how of ['close', 'reset', 'half-line']) {
      const options = turn({ items: [CALL] });
      options.headers['x-replay-cut'] = `response.output_item.done=${how}`;
      await assert.rejects(fold(options), undefined, how);
    }
  },
};

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    console.log('ok  ', name);
  } catch (error) {
    failed += 1;
    console.log('FAIL', name, error);
  }
}
console.log(`node ${process.version}: ${Object.keys(cases).length - failed} of ${Object.keys(cases).length}`);
process.exit(failed ? 1 : 0);
