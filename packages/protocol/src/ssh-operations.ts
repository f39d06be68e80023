/** Operations of the SSH door. A part of the table in `operations.ts`. */
import type { Operation } from './operations.ts';
import {
  sshCertificateRequestSchema,
  sshCertificateSchema,
  sshDoorSchema,
  sshKeyListSchema,
  sshKeyRequestSchema,
  sshKeyViewSchema,
} from './ssh.ts';

export const sshOperations = {
  'ssh.get': {
    method: 'GET',
    path: '/api/v1/ssh',
    does: 'Where the SSH door is, and by which keys it is known.',
    role: 'viewer',
    answer: sshDoorSchema,
    errors: ['not-found'],
  },
  'ssh-key.list': {
    method: 'GET',
    path: '/api/v1/me/ssh-keys',
    does: 'Your own keys, newest first.',
    role: 'developer',
    answer: sshKeyListSchema,
    errors: [],
  },
  'ssh-key.add': {
    method: 'POST',
    path: '/api/v1/me/ssh-keys',
    does: 'Lets you in at the SSH door by a key; adding it again is no change.',
    role: 'developer',
    body: sshKeyRequestSchema,
    status: 201,
    answer: sshKeyViewSchema,
    errors: [],
  },
  'ssh-key.remove': {
    method: 'DELETE',
    path: '/api/v1/me/ssh-keys/{sshKey}',
    does: 'Lets you in by that key no more; connections that are open stay.',
    role: 'developer',
    answer: sshKeyViewSchema,
    errors: ['not-found'],
  },
  'session.certificate': {
    method: 'POST',
    path: '/api/v1/sessions/{session}/ssh-certificate',
    does: 'Signs your public key: for some minutes its private half lets you into this session.',
    role: 'developer',
    body: sshCertificateRequestSchema,
    answer: sshCertificateSchema,
    errors: ['not-found', 'conflict'],
  },
} as const satisfies Record<string, Operation>;
