# Velist Backup from this repository, beside an app that keeps its SQLite file in /data: docs/deployment.md.
FROM node:24.19.0-bookworm-slim@sha256:a9f5f7c91a432850b2a8a7797adf5eadb6c733ceed61167806cee7ea7fbc29df AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm pack

FROM node:24.19.0-bookworm-slim@sha256:a9f5f7c91a432850b2a8a7797adf5eadb6c733ceed61167806cee7ea7fbc29df
COPY --from=build /build/velist-backup-*.tgz /tmp/
RUN npm install --global /tmp/velist-backup-*.tgz && rm /tmp/velist-backup-*.tgz && mkdir /data /backups && chown node /data /backups
USER node
ENV NODE_ENV=production DATABASE_URL=/data/app.sqlite BACKUP_LOCAL_PATH=/backups/files BACKUP_STATE_PATH=/backups/state.sqlite
ENV HOST=0.0.0.0 PORT=3000
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/backup/health').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["velist-backup", "serve"]
