/**
 * The reporter inside each test file's process: appends one JSON line per event to the file named by CROFT_TEST_EVENTS, at
 * once, so that what a crash leaves behind is complete and nothing a test prints can be taken for a result.
 */
import { appendFileSync } from 'node:fs';
import { inspect } from 'node:util';

const kinds = {
  'test:enqueue': enqueued,
  'test:complete': completed,
  'test:diagnostic': noted,
  'test:summary': () => ({ kind: 'summary' }),
};

export default async function* report(source) {
  for await (const { type, data } of source) {
    const event = kinds[type]?.(data);
    if (event) appendFileSync(process.env.CROFT_TEST_EVENTS, `${JSON.stringify(event)}\n`);
  }
}

function enqueued({ testId, parentId, name }) {
  return { kind: 'enqueue', id: testId, parent: parentId, name };
}

function completed({ testId, parentId, name, details, skip, todo, file, line }) {
  const { error } = details;
  return {
    kind: 'end',
    id: testId,
    parent: parentId,
    name,
    suite: details.type === 'suite',
    passed: details.passed,
    elapsedMs: details.duration_ms,
    ...(skip !== undefined && skip !== false && { skip: String(skip) }),
    ...(todo !== undefined && todo !== false && { todo: String(todo) }),
    ...(error && { reason: error.failureType ?? 'testCodeFailure', error: textOf(error), at: file && `${file}:${line}` }),
  };
}

function noted({ message }) {
  return { kind: 'note', message };
}

function textOf(error) {
  const cause = error.code === 'ERR_TEST_FAILURE' && error.cause !== undefined ? error.cause : error;
  if (cause instanceof SuppressedError) return `${textOf(cause.suppressed)}\nand then, cleaning up: ${textOf(cause.error)}`;
  if (!(cause instanceof Error)) return String(cause);
  return cause.code === 'ERR_ASSERTION' ? cause.stack : inspect(cause); // an assertion's message holds its values already
}
