// A real authorization server for the integration test: oidc-provider (OpenID Certified), in memory, over TLS
// that asks for client certificates. Tokens are bound to the certificate (RFC 8705), JWT (PS256) or opaque by
// the resource that is asked for. Beside the standard endpoints, two of the test's own: POST /test/rotate
// replaces the signing key, POST /test/customer issues a token as the authorization code flow would have.
//
//   node server.mjs CERTIFICATE KEY ANCHORS
//
// Prints its issuer in one line of JSON, and ends with its standard input.

import { X509Certificate, generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const [certificate, key, anchors] = process.argv.slice(2);
let issuer;
let current;
const RESOURCES = {
  'https://api.portaria-lab.example': 'jwt',
  'https://opaque.portaria-lab.example': 'opaque',
};
const SCOPES = 'consents resources insurance-auto';

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'PS256' };
}

const client = (id, more) => ({
  client_id: id,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  id_token_signed_response_alg: 'PS256',
  ...more,
});

function provider(signingKey) {
  const made = new Provider(issuer, {
    jwks: { keys: [signingKey] },
    clients: [
      client('client-one', {
        token_endpoint_auth_method: 'tls_client_auth',
        tls_client_auth_san_dns: 'tpp.example',
        tls_client_certificate_bound_access_tokens: true,
        scope: SCOPES,
      }),
      client('portaria', { client_secret: 'portaria-secret', token_endpoint_auth_method: 'client_secret_basic' }),
    ],
    scopes: ['openid', ...SCOPES.split(' ')],
    clientAuthMethods: ['tls_client_auth', 'client_secret_basic'],
    cookies: { keys: ['of no concern: nobody logs in'] },
    enabledJWA: { idTokenSigningAlgValues: ['PS256'] },
    ttl: { ClientCredentials: 600, AccessToken: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => {
          const { raw } = ctx.socket.getPeerCertificate();
          return raw && new X509Certificate(raw);
        },
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) => {
          const { raw } = ctx.socket.getPeerCertificate();
          return property === 'tls_client_auth_san_dns' && !!new X509Certificate(raw).checkHost(expected);
        },
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: SCOPES,
          audience: resource,
          accessTokenFormat: RESOURCES[resource],
          jwt: { sign: { alg: 'PS256' } },
        }),
      },
    },
  });
  made.on('server_error', (ctx, error) => console.error(error));
  return made;
}

// A customer's token: what the code flow ends with, without its pages.
async function customerToken(request, { scope, resource }) {
  const client = await current.Client.find('client-one');
  const grant = new current.Grant({ accountId: 'customer', clientId: client.clientId });
  grant.addResourceScope(resource, scope);
  const grantId = await grant.save();
  const token = new current.AccessToken({ accountId: 'customer', client, scope, grantId });
  token.resourceServer = new current.ResourceServer(resource, {
    scope,
    audience: resource,
    accessTokenFormat: RESOURCES[resource],
    jwt: { sign: { alg: 'PS256' } },
  });
  token.setThumbprint('x5t', new X509Certificate(request.socket.getPeerCertificate().raw));
  return { access_token: await token.save() };
}

async function own(request, response) {
  let body = '';
  for await (const piece of request) body += piece;
  const asked = Object.fromEntries(new URLSearchParams(body));
  const answer = request.url === '/test/customer' ? await customerToken(request, asked) : {};
  if (request.url === '/test/rotate') current = provider(newKey());
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(answer));
}

const server = createServer(
  {
    cert: readFileSync(certificate),
    key: readFileSync(key),
    ca: readFileSync(anchors),
    requestCert: true,
    rejectUnauthorized: false,
  },
  (request, response) => {
    if (request.url.startsWith('/test/')) {
      own(request, response).catch((error) => response.writeHead(500).end(`${error}`));
    } else {
      current.callback()(request, response);
    }
  },
);
server.listen(0, '127.0.0.1', () => {
  issuer = `https://localhost:${server.address().port}`;
  current = provider(newKey());
  console.log(JSON.stringify({ issuer }));
});
process.stdin.on('end', () => process.exit()).resume();
