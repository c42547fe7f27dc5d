//! What a refused caller reads: neutral, in the ecosystem's language, the same for every cause that
//! the caller has no business to tell apart. The exact cause is in the log and the metrics.

/// The public part of a refusal: three members of the OPIN error item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// A code without fixed vocabulary, except where the specifications name one.
    pub code: &'static str,
    /// A short title.
    pub title: &'static str,
    /// One sentence.
    pub detail: &'static str,
}

const fn text(code: &'static str, title: &'static str, detail: &'static str) -> Text {
    Text { code, title, detail }
}

pub(super) const MALFORMED: Text = text(
    "REQUISICAO_INVALIDA",
    "Requisição inválida",
    "A requisição não está bem formada segundo o protocolo HTTP.",
);
pub(super) const HEAD_TOO_LARGE: Text = text(
    "CABECALHO_EXCEDE_LIMITE",
    "Cabeçalho excede o limite",
    "Os cabeçalhos da requisição excedem o tamanho ou a quantidade permitida.",
);
pub(super) const TOO_SLOW: Text = text(
    "TEMPO_DE_ENVIO_ESGOTADO",
    "Tempo de envio esgotado",
    "A requisição não foi recebida por completo no tempo permitido.",
);
pub(super) const BODY_TOO_LARGE: Text = text(
    "CORPO_EXCEDE_LIMITE",
    "Corpo excede o limite",
    "O corpo da requisição excede o tamanho permitido.",
);
pub(super) const JSON: Text = text(
    "CORPO_INVALIDO",
    "Corpo inválido",
    "O corpo da requisição não é JSON bem formado, repete um nome em um objeto, ou excede a profundidade ou a quantidade de membros permitida.",
);
pub(super) const LENGTH_REQUIRED: Text = text(
    "TAMANHO_OBRIGATORIO",
    "Tamanho obrigatório",
    "Um corpo deste tamanho precisa ser declarado em Content-Length.",
);
pub(super) const EXPECTATION: Text = text(
    "EXPECTATIVA_NAO_SUPORTADA",
    "Expectativa não suportada",
    "A expectativa informada em Expect não é suportada.",
);
pub(super) const NOT_ACCEPTABLE: Text = text(
    "FORMATO_NAO_ACEITAVEL",
    "Formato não aceitável",
    "As respostas são enviadas somente em application/json com charset utf-8.",
);
pub(super) const MISDIRECTED: Text = text(
    "REQUISICAO_MAL_DIRECIONADA",
    "Requisição mal direcionada",
    "O host da requisição não é aquele para o qual a conexão foi estabelecida.",
);
pub(super) const UNSUPPORTED_MEDIA: Text = text(
    "MIDIA_NAO_SUPORTADA",
    "Tipo de mídia não suportado",
    "O corpo da requisição deve estar no tipo de mídia deste recurso (application/json, salvo outro), em utf-8.",
);
pub(super) const PARAMETER: Text = text(
    "PARAMETRO_INVALIDO",
    "Parâmetro inválido",
    "O cabeçalho x-fapi-interaction-id está ausente ou fora do padrão.",
);
pub(super) const ATTEMPT: Text = text(
    "PARAMETRO_INVALIDO",
    "Parâmetro inválido",
    "O cabeçalho x-callback-interaction-id ou x-webhook-interaction-id está ausente, repetido ou fora do padrão.",
);
pub(super) const OF_TARGET: Text = text(
    "PARAMETRO_INVALIDO",
    "Parâmetro inválido",
    "Um parâmetro do endereço está fora dos limites ou do padrão da especificação.",
);
pub(super) const IDEMPOTENCY: Text = text(
    "ERRO_IDEMPOTENCIA",
    "Erro de idempotência",
    "O cabeçalho x-idempotency-key está ausente ou fora do padrão.",
);
pub(super) const IDEMPOTENCY_CONTENT: Text = text(
    "ERRO_IDEMPOTENCIA",
    "Erro de idempotência",
    "A chave x-idempotency-key já foi utilizada com outro conteúdo.",
);
pub(super) const IDEMPOTENCY_ANSWER: Text = text(
    "ERRO_IDEMPOTENCIA",
    "Erro de idempotência",
    "A operação desta chave x-idempotency-key já foi realizada e a sua resposta não está mais disponível.",
);
pub(super) const NOT_FOUND: Text = text(
    "RECURSO_NAO_ENCONTRADO",
    "Recurso não encontrado",
    "O endereço solicitado não existe neste serviço.",
);
pub(super) const VERSION: Text = text(
    "VERSAO_NAO_SUPORTADA",
    "Versão não suportada",
    "Nenhuma versão solicitada em x-v e x-min-v é atendida neste endereço.",
);
pub(super) const METHOD: Text = text(
    "METODO_NAO_PERMITIDO",
    "Método não permitido",
    "O recurso existe, mas não admite este método. Consulte o cabeçalho Allow.",
);
pub(super) const LIMIT: Text = text(
    "LIMITE_EXCEDIDO",
    "Limite de requisições excedido",
    "Repita a requisição após o tempo informado em Retry-After.",
);
pub(super) const CERTIFICATE: Text = text(
    "CERTIFICADO_NAO_ACEITO",
    "Certificado não aceito",
    "O certificado de cliente da conexão não identifica um participante válido.",
);
pub(super) const TOKEN: Text = text(
    "TOKEN_INVALIDO",
    "Token de acesso inválido",
    "O token de acesso está ausente, é inválido ou não pertence a este certificado.",
);
pub(super) const SCOPE: Text = text(
    "ESCOPO_INSUFICIENTE",
    "Escopo insuficiente",
    "O token de acesso não contém o escopo exigido pelo recurso.",
);
pub(super) const CONSENT: Text = text(
    "CONSENTIMENTO_NAO_AUTORIZADO",
    "Consentimento não autorizado",
    "O consentimento não está autorizado para esta requisição.",
);
pub(super) const CONSENT_UNKNOWN: Text = text(
    "CONSENTIMENTO_NAO_ENCONTRADO",
    "Consentimento não encontrado",
    "O consentimento informado não existe.",
);
pub(super) const EVENT: Text = text(
    "EVENTO_NAO_ACEITO",
    "Evento não aceito",
    "O evento não está formado, assinado ou datado como combinado, ou já foi recebido.",
);
pub(super) const PERMISSION: Text = text(
    "PERMISSAO_INSUFICIENTE",
    "Permissão insuficiente",
    "O consentimento não contém a permissão exigida pelo recurso.",
);
pub(super) const UNAVAILABLE: Text = text(
    "SERVICO_INDISPONIVEL",
    "Serviço indisponível",
    "O serviço está temporariamente indisponível. Tente novamente mais tarde.",
);
pub(super) const DECLINED: Text = text(
    "REQUISICAO_NAO_ATENDIDA",
    "Requisição não atendida",
    "O serviço não pôde atender a requisição como foi enviada.",
);
pub(super) const BACKEND_TIMEOUT: Text = text(
    "TEMPO_DE_RESPOSTA_ESGOTADO",
    "Tempo de resposta esgotado",
    "O serviço não respondeu no tempo esperado.",
);
pub(super) const INTERNAL: Text =
    text("ERRO_INTERNO", "Erro interno", "Ocorreu um erro interno ao processar a requisição.");
