/** A project of Compose: an image without models, which are mounted read-only. */
import { stringify } from 'yaml';
import { CONFIG_FILE, healthCommand, imageFiles, YAML_OPTIONS } from './container.js';
import { configText, type Deployed, type DeploymentOptions, mountOf } from './deployment.js';
import { mib, resourcesOf } from './resources.js';

export function renderCompose(options: DeploymentOptions): Deployed {
  const { port } = options;
  return {
    files: [
      { path: 'compose.yaml', text: stringify(composeOf(options), YAML_OPTIONS) },
      { path: 'server.json', text: configText(options, '0.0.0.0', (model) => mountOf(model).path) },
      ...imageFiles(options),
    ],
    next: ['echo "PENJING_API_KEY=$(openssl rand -hex 32)" > .env && chmod 600 .env', 'docker compose up --detach --build --wait', `curl http://127.0.0.1:${port}/v2/health/ready`],
  };
}

export function composeOf(options: DeploymentOptions): object {
  const { name, models, port, drainSeconds, image } = options;
  const { memoryLimitBytes, memoryBytes, startSeconds } = resourcesOf(options);
  return {
    name,
    services: {
      [name]: {
        image,
        build: '.',
        // Compose refuses to start without it.
        environment: { PENJING_API_KEY: '${PENJING_API_KEY:?set it in .env}' },
        // This machine only; a proxy with TLS stands before what is public.
        ports: [`127.0.0.1:${port}:${port}`],
        volumes: [{ type: 'bind', source: './server.json', target: CONFIG_FILE, read_only: true }, ...models.map((model) => ({ type: 'bind', source: escaped(model.folder), target: mountOf(model).folder, read_only: true }))],
        read_only: true,
        tmpfs: ['/tmp'],
        init: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
        restart: 'unless-stopped',
        stop_grace_period: `${drainSeconds + 10}s`,
        healthcheck: { test: ['CMD', ...healthCommand(port)], interval: '10s', timeout: '5s', start_period: `${startSeconds}s`, retries: 3 },
        deploy: { resources: { limits: { memory: `${mib(memoryLimitBytes)}M`, pids: 1024 }, reservations: { memory: `${mib(memoryBytes)}M` } } },
      },
    },
  };
}

/** $ begins a variable. */
const escaped = (text: string): string => text.replaceAll('$', '$$$$');
