/** `npm start` and `npm run dev`. */
import { keepCompiled } from '@croft/runtime/compile-cache';
import { runMain } from '@croft/runtime/run-main';

await runMain(async () => {
  keepCompiled();
  const { startMainJob } = await import('./main-job.ts');
  return startMainJob(process.argv.slice(2), process.env);
});
