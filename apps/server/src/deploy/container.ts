/** What Compose and Kubernetes have in common: the image, and how it is asked whether it is well. */
import { version } from '../version.js';
import { CONFIG_FOLDER, type DeployedFile, type DeploymentOptions } from './deployment.js';
import { resourcesOf } from './resources.js';

/** Of the image's user `node`. */
export const USER_ID = 1000;
export const CONFIG_FILE = `${CONFIG_FOLDER}/server.json`;

/** The image has no curl; probes need no key. */
export function healthCommand(port: number): readonly string[] {
  return ['node', '-e', `fetch('http://127.0.0.1:${port}/v2/health/ready').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))`];
}

/** What the image is built from. */
export function imageFiles(options: DeploymentOptions): readonly DeployedFile[] {
  return [
    { path: 'Dockerfile', text: dockerfile(options.port, resourcesOf(options).startSeconds) },
    // What is built needs no file of the folder, least of all .env.
    { path: '.dockerignore', text: '*\n' },
  ];
}

/** glibc, as ONNX Runtime needs it. Models and configuration are mounted: the image is the same for all. */
function dockerfile(port: number, startSeconds: number): string {
  return `FROM node:24-bookworm-slim
ARG PENJING_VERSION=${version}
RUN npm install --global --omit=dev penjing@\${PENJING_VERSION} && npm cache clean --force
ENV NODE_ENV=production
USER node
EXPOSE ${port}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=${startSeconds}s --retries=3 CMD ${JSON.stringify(healthCommand(port))}
ENTRYPOINT ["penjing"]
CMD ["serve", "--config", "${CONFIG_FILE}"]
`;
}

/** People edit it: no folded lines, no anchors. */
export const YAML_OPTIONS = { lineWidth: 0, aliasDuplicateObjects: false } as const;
