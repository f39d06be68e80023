/** What each JSON operation on sessions does. */
import type { SessionOperationName } from '@croft/protocol/operations';
import type { Handlers } from './perform.ts';

export const sessionHandlers: Pick<Handlers, SessionOperationName> = {
  'session.create': ({ body, who, capabilities }) => capabilities.sessions.create(who, body),
  'session.list': async ({ query, who, capabilities }) => ({
    sessions: await capabilities.sessions.list(who, { mine: query.mine !== undefined, ended: query.ended !== undefined }),
  }),
  'session.get': ({ params, who, capabilities }) => capabilities.sessions.get(who, params.session),
  'session.extend': ({ params, body, who, capabilities }) => capabilities.sessions.extend(who, params.session, body.forMs),
  'session.share': ({ params, body, who, capabilities }) => capabilities.sessions.share(who, params.session, body.with),
  'session.note': ({ params, body, who, capabilities }) => capabilities.sessions.note(who, params.session, body.note),
  async 'session.ping'({ params, who, capabilities, signal }) {
    using entered = await capabilities.sessions.enter(who, params.session);
    await entered.buildlet.status({ signal });
    return entered.session;
  },
  'build.hold': ({ params, body, who, capabilities }) => capabilities.sessions.builds.hold(who, params.build, body),
  'build.unhold': ({ params, body, who, capabilities }) => capabilities.sessions.builds.unhold(who, params.build, body.why),
  'build.repro': ({ params, body, who, capabilities }) => capabilities.sessions.builds.repro(who, params.build, body),
  'session.end': ({ params, body, who, capabilities }) => capabilities.sessions.end(who, params.session, body.why),
};
