# One image for all four apps; the command chooses which. Node strips the types itself: there is no build step.
FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier && npm cache clean --force
COPY libs libs
COPY apps apps
COPY handlers handlers
USER node
EXPOSE 8080
# SIGTERM lets a worker drain: give it more than SHUTDOWN_GRACE_MS before it is killed (docker stop -t 20).
STOPSIGNAL SIGTERM
CMD ["node", "apps/scheduler-api/main.ts"]
