# The worker with PostgreSQL's client programs; pg_dump must not be older than the servers it reads (bookworm has 15).
FROM node:20-bookworm-slim
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates postgresql-client \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json tsconfig.json tsconfig.build.json ./
COPY tools tools
COPY src src
COPY workflows workflows
COPY activities activities
COPY cli cli
COPY lab lab
COPY examples examples
COPY schema schema
COPY bin bin
# `prepare` builds with the development packages, which then go.
RUN npm ci && npm prune --omit=dev --ignore-scripts && npm cache clean --force
# The maintenance flag's folder must belong to the user that writes it: a new volume takes over its owner.
RUN mkdir -p /flags /config/reports && chown node:node /flags /config/reports
USER node
ENV NODE_ENV=production
# Plans, mapping and schema folders are mounted at /config.
WORKDIR /config
ENTRYPOINT ["/app/bin/kirikae.js"]
CMD ["worker"]
