// A certified relying party (npm openid-client) judges the embedded provider, over HTTP, as any stranger would.
//
// Reads {issuer, client, redirect, account, password, codes} from standard input; prints one JSON line a check:
// {"check": name, "ok": true | false, "said": what it found}. It trusts nothing that the provider says about itself.
import * as oidc from 'openid-client'
import { readFileSync } from 'node:fs'

const given = JSON.parse(readFileSync(0, 'utf8'))
const execute = [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks]
const report = (check, ok, said = '') => console.log(JSON.stringify({ check, ok, said: String(said) }))

async function holds(check, work) {
  try {
    report(check, true, (await work()) ?? '')
  } catch (error) {
    report(check, false, `${error.code ?? error.name}: ${error.message} ${error.cause?.message ?? ''}`)
  }
}

function must(truth, said) {
  if (!truth) throw new Error(said)
}

async function refused(check, code, work) {
  try {
    await work()
    report(check, false, 'it was accepted')
  } catch (error) {
    report(check, error.error === code, `${error.error ?? error.code}: ${error.message}`)
  }
}

const config = await oidc.discovery(new URL(given.issuer), given.client, undefined, oidc.None(), { execute })
const says = config.serverMetadata()

// Ask as a browser does, and fill in the provider's page. Returns where it sends the browser, or the page it shows.
async function ask(parameters, { code = '', password = given.password, account = given.account, method = 'GET' } = {}) {
  const url = oidc.buildAuthorizationUrl(config, parameters)
  const page =
    method === 'GET'
      ? await fetch(url, { redirect: 'manual' })
      : await fetch(url.origin + url.pathname, { method, body: url.searchParams, redirect: 'manual' })
  if (page.status === 303) return new URL(page.headers.get('location'))
  const text = await page.text()
  const action = /<form method="post" action="([^"]+)"/.exec(text)
  if (!action) throw Object.assign(new Error(`page ${page.status}`), { error: `page ${page.status}` })
  const handle = /name="handle" value="([^"]+)"/.exec(text)[1]
  const body = new URLSearchParams({ handle, account, password, code })
  const answer = await fetch(new URL(action[1], url), { method: 'POST', body, redirect: 'manual' })
  if (answer.status !== 303) throw Object.assign(new Error('the form was not accepted'), { error: 'form' })
  return new URL(answer.headers.get('location'))
}

async function begin(more = {}) {
  const verifier = oidc.randomPKCECodeVerifier()
  const parameters = {
    redirect_uri: given.redirect,
    scope: 'openid profile',
    state: oidc.randomState(),
    nonce: oidc.randomNonce(),
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...more,
  }
  for (const name of Object.keys(parameters)) if (parameters[name] === undefined) delete parameters[name]
  return { verifier, parameters }
}

const expected = ({ verifier, parameters }, more = {}) => ({
  pkceCodeVerifier: verifier,
  expectedState: parameters.state ?? oidc.skipStateCheck,
  expectedNonce: parameters.nonce,
  idTokenExpected: true,
  ...more,
})

await holds('discovery names its issuer and what this flow needs', () => {
  must(says.issuer === given.issuer, says.issuer)
  for (const name of ['authorization_endpoint', 'token_endpoint', 'jwks_uri', 'userinfo_endpoint']) must(says[name], name)
  must(says.scopes_supported?.includes('openid'), 'scopes_supported')
  must(says.response_types_supported.join() === 'code', 'response_types_supported')
  must(says.code_challenge_methods_supported.join() === 'S256', 'PKCE')
  must(says.request_parameter_supported === false && says.request_uri_parameter_supported === false, 'request objects')
})

let whole, claims
await holds('code, PKCE, state, nonce, issuer, signature and hashes hold', async () => {
  const start = await begin()
  whole = await oidc.authorizationCodeGrant(config, await ask(start.parameters), expected(start))
  claims = whole.claims()
  must(whole.token_type === 'bearer' && whole.expires_in > 0, 'token answer')
  must(claims.aud === given.client && claims.sub, JSON.stringify(claims))
})

await holds('userinfo is about the same subject', async () => {
  const info = await oidc.fetchUserInfo(config, whole.access_token, claims.sub)
  must(info.name === claims.name, JSON.stringify(info))
})

await holds('userinfo answers POST as it does GET', async () => {
  const headers = { authorization: `Bearer ${whole.access_token}` }
  const answer = await fetch(says.userinfo_endpoint, { method: 'POST', headers })
  must(answer.status === 200 && (await answer.json()).sub === claims.sub, answer.status)
})

await holds('userinfo refuses a foreign token and says why', async () => {
  const answer = await fetch(says.userinfo_endpoint, { headers: { authorization: 'Bearer x' } })
  const challenge = answer.headers.get('www-authenticate')
  must(answer.status === 401 && /error="invalid_token"/.test(challenge), `${answer.status} ${challenge}`)
})

await holds('the key set holds public signing keys, each with a name of its own', async () => {
  const { keys } = await (await fetch(says.jwks_uri)).json()
  must(keys.length && new Set(keys.map((key) => key.kid)).size === keys.length, 'names')
  for (const key of keys) must(key.use === 'sig' && key.alg && !key.d && !key.p, JSON.stringify(Object.keys(key)))
})

await holds('a second factor is asked for and shown', async () => {
  const start = await begin({ acr_values: 'c2', max_age: '0' })
  const answer = await oidc.authorizationCodeGrant(
    config,
    await ask(start.parameters, { code: given.codes[0] }),
    expected(start, { maxAge: 60 }),
  )
  must(answer.claims().acrs.includes('c2') && answer.claims().amr.includes('mfa'), JSON.stringify(answer.claims()))
})

await holds('without state and nonce nothing is invented', async () => {
  const start = await begin({ state: undefined, nonce: undefined })
  const back = await ask(start.parameters)
  must(!back.searchParams.has('state'), back.search)
  const answer = await oidc.authorizationCodeGrant(config, back, expected(start))
  must(!('nonce' in answer.claims()), 'nonce')
})

await holds('the authorization request may be a POST', async () => {
  const start = await begin()
  await oidc.authorizationCodeGrant(config, await ask(start.parameters, { method: 'POST' }), expected(start))
})

// What the authorization endpoint refuses goes back to the client with state and issuer (RFC 6749 4.1.2.1, RFC 9207).
for (const [check, error, more] of [
  ['nobody is signed in without a page', 'login_required', { prompt: 'none' }],
  ['implicit flow', 'unsupported_response_type', { response_type: 'id_token' }],
  ['hybrid flow', 'unsupported_response_type', { response_type: 'code id_token' }],
  ['form_post', 'invalid_request', { response_mode: 'form_post' }],
  ['plain PKCE', 'invalid_request', { code_challenge_method: 'plain' }],
  ['no PKCE', 'invalid_request', { code_challenge: undefined, code_challenge_method: undefined }],
  ['scope without openid', 'invalid_scope', { scope: 'profile' }],
  ['request object', 'request_not_supported', { request: 'eyJhbGciOiJub25lIn0.e30.' }],
  ['request object by address', 'request_uri_not_supported', { request_uri: 'https://evil.example/r' }],
  ['a state too long to keep', 'invalid_request', { state: 's'.repeat(2000) }],
]) {
  const start = await begin(more)
  await refused(`refused: ${check}`, error, async () =>
    oidc.authorizationCodeGrant(config, await ask(start.parameters), expected(start)),
  )
}

await refused('refused, with a page: another redirect address', 'page 400', async () =>
  ask((await begin({ redirect_uri: 'http://127.0.0.1:9/evil' })).parameters),
)
await refused('refused, with a page: another client', 'page 400', async () =>
  ask((await begin({ client_id: 'somebody' })).parameters),
)
await refused('refused, with a page: a wrong password', 'form', async () =>
  ask((await begin()).parameters, { password: 'wrong' }),
)

await refused('refused: a code used twice', 'invalid_grant', async () => {
  const start = await begin()
  const back = await ask(start.parameters)
  await oidc.authorizationCodeGrant(config, back, expected(start))
  await oidc.authorizationCodeGrant(config, back, expected(start))
})
await refused('refused: another verifier', 'invalid_grant', async () => {
  const start = await begin()
  const back = await ask(start.parameters)
  await oidc.authorizationCodeGrant(config, back, { ...expected(start), pkceCodeVerifier: 'x'.repeat(43) })
})
await refused('refused: a code for another redirect address', 'invalid_grant', async () => {
  const start = await begin()
  const back = await ask(start.parameters)
  back.port = '9'
  await oidc.authorizationCodeGrant(config, back, expected(start))
})
await refused('refused: another client at the token endpoint', 'invalid_client', async () => {
  const other = new oidc.Configuration(says, 'somebody', undefined, oidc.None())
  oidc.allowInsecureRequests(other)
  const start = await begin()
  await oidc.authorizationCodeGrant(other, await ask(start.parameters), expected(start))
})
for (const [grant, more] of [
  ['client_credentials', {}],
  ['password', { username: given.account, password: given.password }],
  ['refresh_token', { refresh_token: 'x' }],
]) {
  await refused(`refused: the grant ${grant}`, 'unsupported_grant_type', () =>
    oidc.genericGrantRequest(config, grant, more),
  )
}
await holds('the token endpoint refuses GET, and never caches', async () => {
  must((await fetch(says.token_endpoint)).status === 405, 'GET')
  const answer = await fetch(says.token_endpoint, { method: 'POST', body: new URLSearchParams({}) })
  must(/no-store/.test(answer.headers.get('cache-control')), 'cache-control')
  must(answer.status === 400 || answer.status === 401, answer.status)
})
