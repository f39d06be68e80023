/** Go's `fetchlogs` and `retrybuilds` of 2017, as they were recorded: each of their requests gets the answer that served them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { dashboardName, exchangesDir, openScene, type Exchange } from './testing-exchanges.ts';

for (const file of readdirSync(exchangesDir)) {
  test(`what ${file.replace('.json', '')} said and heard then, it hears today`, async () => {
    const exchanges = JSON.parse(readFileSync(new URL(file, exchangesDir), 'utf8')) as Exchange[];
    assert.ok(exchanges.length > 0);
    await using scene = await openScene();
    for (const { method, path, headers, ...heard } of exchanges) {
      const address = `http://${dashboardName}${scene.showKey(path)}`;
      const response = await scene.stage.app.ask(address, { method, headers });
      const body = await response.text();
      const { status } = response;
      assert.deepEqual({ status, type: response.headers.get('content-type'), body }, heard, `${method} ${path}`);
    }
  });
}
