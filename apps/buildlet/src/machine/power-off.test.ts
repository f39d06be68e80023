/** How each system is switched off. Nothing is run here: it would be this machine. buildlet.md 1.11. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { powerCommand } from './power-off.ts';

const on = (platform: string, power: { halt?: boolean; reboot?: boolean; builderEnv?: string }, arch = 'x64'): string | undefined => {
  const command = powerCommand({ halt: false, reboot: false, ...power }, { platform, arch });
  return typeof command === 'object' ? command.join(' ') : command;
};

test('nothing is switched off that was not asked for', () => {
  for (const platform of ['linux', 'darwin', 'win32', 'freebsd', 'openbsd', 'plan9', 'netbsd']) assert.equal(on(platform, {}), undefined);
});

test('each system has its own command', () => {
  assert.equal(on('linux', { halt: true }), '/bin/halt -n -f -p');
  assert.equal(on('openbsd', { halt: true }), 'halt -q -n -p');
  assert.equal(on('freebsd', { halt: true }), 'shutdown -p -o now');
  assert.equal(on('win32', { halt: true }, 'arm64'), 'shutdown /s');
  for (const platform of ['win32', 'netbsd', 'sunos']) assert.equal(on(platform, { halt: true }), 'unknown');
});

test('a Mac is switched off only where it is a virtual one', () => {
  for (const builderEnv of ['macstadium_vm', 'qemu_vm']) assert.equal(on('darwin', { halt: true, builderEnv }), 'sudo /sbin/halt -n -q -l');
  assert.equal(on('darwin', { halt: true }), 'unknown');
  assert.equal(on('darwin', { halt: true, builderEnv: 'android-amd64-emu' }), 'unknown');
});

test('starting anew comes before switching off', () => {
  assert.equal(on('linux', { halt: true, reboot: true }), 'reboot');
  assert.equal(on('win32', { reboot: true }), 'shutdown /r');
});
