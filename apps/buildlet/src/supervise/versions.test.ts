import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { advance, kept, maxDeaths, versionsSchema, wants, type VersionEvent, type Versions } from './versions.ts';

const none: Versions = { kind: 'none', bad: [] };
const play = (versions: Versions, ...events: VersionEvent[]): Versions => events.reduce(advance, versions);
const switched = (version: string): VersionEvent => ({ kind: 'switched', version });
const died: VersionEvent = { kind: 'died' };

test('a version on trial that dies too often is taken back; one that has proven itself is not', () => {
  const onTrial = play(none, switched('a'), { kind: 'proven' }, switched('b'));
  assert.deepEqual(kept(onTrial), ['b', 'a']);
  assert.deepEqual(play(onTrial, died, died), { ...onTrial, deaths: 2 });
  assert.deepEqual(play(onTrial, died, died, died), { kind: 'proven', current: 'a', bad: ['b'] });
  assert.deepEqual(play(onTrial, { kind: 'late' }), { kind: 'proven', current: 'a', bad: ['b'] });
  const provenB = play(onTrial, died, { kind: 'proven' });
  assert.deepEqual(play(provenB, died, died, died, { kind: 'late' }), provenB);
});

test('the first version has nothing to go back to and is tried on, until there is another', () => {
  const first = play(none, switched('a'), died, died, died, died);
  assert.equal(first.kind, 'trial');
  assert.ok(wants(first, 'b'));
  assert.ok(!wants(first, 'a'));
});

test('while one is on trial the one before it stays; a bad one is not wanted again', () => {
  const onTrial = play(none, switched('a'), { kind: 'proven' }, switched('b'));
  assert.ok(!wants(onTrial, 'c'));
  const back = play(onTrial, { kind: 'late' });
  assert.ok(!wants(back, 'b'));
  assert.ok(wants(back, 'c'));
});

const names = fc.constantFrom('a', 'b', 'c', 'd', 'e');
type Happening = { readonly offered: string } | 'proven' | 'died' | 'late' | 'damaged';
const happening: fc.Arbitrary<Happening> = fc.oneof(
  names.map((offered) => ({ offered })),
  fc.constantFrom('proven' as const, 'died' as const, 'late' as const, 'damaged' as const),
);

test('whatever happens there are two versions at most, a bad one never runs where another is, and what is stored can be read', () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 40 }), (happenings) => {
      let versions: Versions = none as Versions;
      let deaths = 0;
      for (const what of happenings) {
        const before = versions;
        if (typeof what !== 'string') {
          if (!wants(versions, what.offered)) continue;
          versions = play(versions, { kind: 'fetching' });
          assert.ok(kept(versions).length <= 1);
          versions = play(versions, switched(what.offered));
        } else versions = advance(versions, { kind: what });
        assert.ok(kept(versions).length <= 2);
        assert.equal(new Set(kept(versions)).size, kept(versions).length);
        assert.deepEqual(versionsSchema.parse(JSON.parse(JSON.stringify(versions))), versions);
        if (before.kind !== 'none' && versions.kind !== 'none' && before.current !== versions.current) {
          assert.ok(typeof what !== 'string' || kept(before).includes(versions.current), 'went to a version that is not there');
        }
        deaths = what === 'died' ? deaths + 1 : 0;
        if (deaths >= maxDeaths) assert.ok(versions.kind !== 'trial' || versions.previous === undefined);
      }
    }),
  );
});
